# cost.toml from what measure.py printed in the guide's last step.
python - <<'END'
import re

numbers = [float(number) for number in re.findall(r"[-+]?[\d.]+(?= MB| ms| ±)", open("measured.txt").read())]
own, _, _, second, median, p99, *_ = numbers
with open("cost.toml", "w") as file:
    file.write(f"second_model_mb = {second}\nsecond_process_mb = {own}\nmedian_ms = {median}\np99_ms = {p99}\n")
END
