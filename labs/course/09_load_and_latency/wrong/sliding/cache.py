import numpy as np


def source(key, event_s, ttl_s):
    places, held = np.arange(len(key)), {}
    for i, (name, now) in enumerate(zip(key.tolist(), event_s.tolist(), strict=True)):
        kept, renewed = held.get(name, (i, -np.inf))
        if now - renewed >= ttl_s:
            kept = i
        places[i] = kept
        held[name] = kept, now
    return places
