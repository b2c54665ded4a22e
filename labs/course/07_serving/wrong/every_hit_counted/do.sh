# Credits the rules with all that they hit.
