echo 0.25 > measured.txt
