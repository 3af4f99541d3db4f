package main

import (
	"fmt"
	"os"
	"syscall"
)

// memory counts what idle connections cost: those of lookups have asked once,
// those of logins have shaken hands.
func memory(p plan, dir string) error {
	all, err := start(dir, passwd(p.users))
	defer func() { stop(all) }()
	if err != nil {
		return err
	}
	qs := questions(p.users)
	fmt.Printf("\nresident memory of the auth process in KiB\n")
	fmt.Printf("%-10s %12s %24s %24s\n", "", "at first", fmt.Sprintf("%d idle lookups", p.idle), fmt.Sprintf("and %d idle logins", p.idle))
	for _, c := range all {
		first := resident(c.pid)
		links, err := dialMany(c.lookup, p.idle)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		for i, l := range links {
			q := qs[i%len(qs)]
			if err := l.send(q.ask); err != nil {
				return err
			}
			if err := l.answer(q); err != nil {
				return err
			}
		}
		lookups := resident(c.pid)
		for range p.idle {
			l, err := dial(c.login)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			links = append(links, l)
			if err := l.send(fmt.Appendf(nil, "VERSION\t1\t2\nCPID\t%d\n", len(links))); err != nil {
				return err
			}
			if _, err := l.until("DONE"); err != nil {
				return fmt.Errorf("%s: login: %w", c.name, err)
			}
		}
		fmt.Printf("%-10s %12d %24d %24d\n", c.name, first, lookups, resident(c.pid))
		closeAll(links)
	}
	return nil
}

// like gives a file the owner of another.
func like(path string, of os.FileInfo) error {
	st := of.Sys().(*syscall.Stat_t)
	return os.Chown(path, int(st.Uid), int(st.Gid))
}
