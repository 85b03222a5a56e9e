"""A command: how many runs is this study?"""
