"""The loop, a folder per part: training, batch, monitoring, rollout. `flows` alone imports Prefect. May import `data`."""
