"""Lines of image lists that state no label, each of one label and otherwise like its neighbours."""

# each is line 2 of a list of one label per line, whose other lines have the ids 0 and 3
BAD_LINES = [
    "1\tcat\t1.png",
    "1\t1.png\t6",
    "1\t1,75\t1.png",
    "1\t6x\t1.png",
    "1\t1_0\t1.png",
    "1\t\u0663\t1.png",
    "1\t\t1.png",
    "1\t1e39\t1.png",
    "1\t6\t7\t1.png",
    "1\t6\tno 1.png\t1.png",
    "1 6 my 1.png",
    "1\t6 7\t1.png",
    "1\t6",
    "1",
    "one\t6\t1.png",
    "1.0\t6\t1.png",
    "\u00b2\t6\t1.png",
    "1" * 5000 + "\t6\t1.png",
    "id\tlabel\tpath",
    "1,6,1.png",
    "2\t6\t1.png\n2\t7\t2.png",
]
