"""Token signals: what a policy makes of the same tokens under changed pictures; one file each."""
