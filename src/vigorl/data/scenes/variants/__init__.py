"""Variants of the made world: each changes what is drawn or asked, so that one mechanism can show
what it does; one file each.
"""
