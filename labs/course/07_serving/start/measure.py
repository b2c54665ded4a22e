"""Given. What the second model costs in one process: `python measure.py` starts service.py twice, with one model and with two."""

from pathlib import Path

from data.settings import Settings
from labs.endpoint.cost import await_challenger, measure
from labs.endpoint.process import START_S, on_show

file, settings = Path("service.py").absolute(), Settings.load()
with on_show(file, settings) as (one, _), on_show(file, settings, challenger="2") as (two, _):
    for service in (one, two):
        service.start()
        service.ready_within(START_S)
    await_challenger(two, "2")
    cost = measure(one, two, rounds=6, each=100)
print(f"one model          {cost.second_process_mb:8.1f} MB   median {cost.one_median_ms:.3f} ms   p99 {cost.one_p99_ms:.2f} ms")
added = f"median {cost.median_ms:+.3f} ms   p99 {cost.p99_ms:+.2f} ± {cost.p99_noise_ms:.2f} ms"
print(f"a second one adds  {cost.second_model_mb:8.1f} MB   {added}")
print(f"a process of its own would take {cost.second_process_mb:.0f} MB more")
print("Milliseconds are your log's latency_ms; ± is the standard error of 6 rounds.")
