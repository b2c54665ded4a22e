"""Steps of the loop, one file each, plain functions; `flows` alone imports Prefect. May import `data`."""
