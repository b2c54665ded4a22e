: # nothing to do on the live system
