# The policy by threshold.py and the champion; the decision from the first table of attack.py.
python write_policy.py
python - <<'END'
from anomaly import scores
from study import Study, saved, shared_alerts

attack = (study := Study.here()).card_testing
strange = scores(study.ordinary, attack.features)
given_up = saved(attack, shared_alerts(attack.classifier, strange, 0)) - saved(attack, shared_alerts(attack.classifier, strange, 4))
with open("decision.toml", "w") as file:
    file.write(f"alerts_for_anomalies = 4\nsaved_per_thousand_given_up = {given_up:.1f}\n")
END
