test "$(cat measured.txt)" = 0.25
test -n "$LAB_HOME"
