# cost.toml from what measure.py printed in the guide's last step. A person runs it more than once, and believes no single p99.
python - <<'END'
import re

own, _, _, second, median, *_ = re.findall(r"[-+]?[\d.]+(?= MB| ms| ±)", open("measured.txt").read())
with open("cost.toml", "w") as file:
    file.write(f"second_model_mb = {second}\nsecond_process_mb = {own}\nmedian_ms = {float(median)}\np99_beyond_noise = false\n")
END
