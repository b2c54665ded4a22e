"""What an online experiment needs, what breaks it, and what it would have concluded: planning, A/A, peeking, pairs, people, bandits.

Pure functions of values and seeds. `lab ab` and the bench print what they return; no rollout depends on them: the judge of
`pipelines/rollout/` decides, and these show why it decides as it does.
"""
