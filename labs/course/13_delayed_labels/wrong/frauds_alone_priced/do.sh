# Counts the frauds that come through, and not the customers who are declined no more.
python - <<'END'
import shop

here = shop.here()
lost = (here.amount + shop.COSTS.chargeback_fee)[here.declined & here.fraud].sum()
with open("decision.toml", "w") as file:
    file.write(f"random_approve_share = 0.1\ncosts_per_thousand_eur = {100 * lost / len(here.score):.1f}\n")
END
