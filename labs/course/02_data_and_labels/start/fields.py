"""Given: `python fields.py` holds each field's writing time against its payment's, and shows what the field is among frauds and others."""

from rows import WAREHOUSE, late, payments

rows = payments().rows
fraud = rows["is_fraud"].to_numpy()
print(f"{'':<18}{'mean of':<20}{'late: written after the payment':<33}")
print(f"{'':<18}{'frauds':<9}{'others':<11}{'of all rows':<13}{'of frauds':<11}of others")
for name in WAREHOUSE:
    after, value = late(rows, name), rows[name]
    print(
        f"{name:<18}{value[fraud].mean():<9.2f}{value[~fraud].mean():<11.2f}"
        f"{after.mean():<13.3f}{after[fraud].mean():<11.3f}{after[~fraud].mean():.3f}"
    )
