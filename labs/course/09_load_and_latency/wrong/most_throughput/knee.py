def knee(ladder):
    return max(ladder, key=lambda rung: rung["per_s"])["users"]
