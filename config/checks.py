def check_all(sources):
    return []
