"""Step 2: is it an effect, or another seed?"""

from statistics import mean, variance

FAR = 2.31  # Student's t: with five seeds each, one difference in twenty without effect lies farther out


def verdict(plain, treated):
    """Welch's t: the difference of the means, measured in what other seeds change of it."""
    noise = (variance(plain) / len(plain) + variance(treated) / len(treated)) ** 0.5
    difference = mean(treated) - mean(plain)
    if abs(difference) <= FAR * noise:
        return "noise"
    return "up" if difference > 0 else "down"
