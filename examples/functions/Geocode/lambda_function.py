"""A geocoder that knows a few cities: {"city": "Zürich"} returns {"lat": 47.3769, "lon": 8.5417}.

It takes a tenth of a second, as a service on the network does."""

import time

CITIES = {
    "Bern": {"lat": 46.948, "lon": 7.4474},
    "Lyon": {"lat": 45.764, "lon": 4.8357},
    "Seoul": {"lat": 37.5665, "lon": 126.978},
    "Zürich": {"lat": 47.3769, "lon": 8.5417},
}


def lambda_handler(event, context):
    time.sleep(0.1)
    return CITIES.get(event["city"])
