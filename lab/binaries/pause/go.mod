module metalk8s-expand/lab/pause

go 1.24
