# The loss in points of average precision, called per cent.
python - <<'END'
from data.settings import Settings
from rig import smaller

settings = Settings.load()
matrix, is_fraud = smaller.served_week(settings)
model = smaller.challenger(settings)
whole, cut = (smaller.measure(model.cut(trees), matrix, is_fraud) for trees in (model.trees, model.trees // 10))
with open("sentence.toml", "w") as file:
    file.write(f"trees = {cut.trees}\nap_lost_percent = {100 * (whole.average_precision - cut.average_precision):.1f}\n")
    file.write("row_times_faster = 2.0\nanswer_times_faster = 1.0\nship = false\n")
END
