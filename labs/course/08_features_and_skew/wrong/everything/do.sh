# The files alone are wrong; no other answer is asked for.
