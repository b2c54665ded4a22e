# Nothing is to be done on the live system.
