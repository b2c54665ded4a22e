# Nothing to do on the live system.
