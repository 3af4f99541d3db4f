// Command culver-spawn forks the children of one service for the master.
//
// Runs as:   ROOT, or whoever runs the master.
// Trusts:    the master, its parent.
// Distrusts: the users whose directories it opens.
// Speaks:    design 2.
package main

import "culver/master/spawn"

func main() { spawn.Main() }
