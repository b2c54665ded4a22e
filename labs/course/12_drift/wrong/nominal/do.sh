# Takes the level of the test for what it does.
:
