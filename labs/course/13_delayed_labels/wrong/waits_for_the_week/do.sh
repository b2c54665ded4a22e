# The same drift, and the answer of somebody who waited for its first week to settle.
lab drift inject new_pattern --days 5
