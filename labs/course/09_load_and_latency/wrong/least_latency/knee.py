def knee(ladder):
    return min(ladder, key=lambda rung: rung["p99_ms"])["users"]
