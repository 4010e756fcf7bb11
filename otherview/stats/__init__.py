"""Sign-flip statistics of many units: arrays in, arrays out."""

from otherview.stats.published import PublishedReading, published_reading

__all__ = ["PublishedReading", "published_reading"]
