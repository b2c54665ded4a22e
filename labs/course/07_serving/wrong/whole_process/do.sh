# Takes what the process has for what the second model adds.
