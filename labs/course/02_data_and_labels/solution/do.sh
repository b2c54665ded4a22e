# Writes the answers from what the given commands print; a person reads them off the screen.
study=$(python study.py random)
number() { echo "$study" | sed -n "$1" | grep -o '0\.[0-9]*' | head -1; }
cat > promise.toml <<END
random_says = $(number '/random split/p')
promise = $(number '/^promised/p')
delivered = $(number '/^delivered/p')
keep_shop_share = false
END
python - <<'END'
import re
import subprocess
import sys

said = subprocess.run([sys.executable, "audit.py"], capture_output=True, text=True, check=True).stdout
counts = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?= payments|,? of them|; | labels| of those)", said)]
_, frauds, _, reports, right = counts[:5]
settled = re.search(r"within 14 days, by your delays.py: ([\d.]+)", said).group(1)
with open("label_policy.toml", "w") as file:
    file.write(f"settle_days = 14\nsettled = {settled}\n")
    file.write(f"never_reported = {1 - right / frauds:.3f}\nwrong_labels = {1 - right / reports:.3f}\n")
END
