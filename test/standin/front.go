package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"culver/internal/favour"
	"culver/internal/maillog/logline"
	"culver/internal/worker"
)

// front takes the place of doveadm's. To each line "hire USER" it asks the master
// for that user's worker and answers "CLASS ok", or why none came; "abandon" gives
// the last one up. It holds what it hired until its client is gone.
func front() {
	p := worker.Begin(true)
	master := favour.NewControl(p.Control, "doveadm-worker")
	for i, fd := range p.Listeners() {
		l, err := net.FileListener(os.NewFile(uintptr(fd), fmt.Sprint("listener ", i)))
		if err != nil {
			logline.Print(logline.Fatal, "", "", "%v", err)
			os.Exit(worker.ExitConfig)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go client(c, master, p.Settings["class"], p.Settings["doveadm_password"])
			}
		}()
	}
	master.Status(1, 0)
	master.Run(func() { os.Exit(0) })
	os.Exit(0)
}

func client(c net.Conn, master *favour.Control, class, password string) {
	defer c.Close()
	var last uint64
	for in := bufio.NewScanner(c); in.Scan(); {
		order, user, _ := strings.Cut(in.Text(), " ")
		switch order {
		case "hire":
			fd, id, err := master.Numbered(context.Background(), user)
			if err != nil {
				fmt.Fprintln(c, err)
				continue
			}
			defer unix.Close(fd)
			last = id
			fmt.Fprintln(c, class, "ok")
		case "abandon":
			master.Abandon(last)
		case "password":
			fmt.Fprintf(c, "%s %q\n", class, password)
		}
	}
}
