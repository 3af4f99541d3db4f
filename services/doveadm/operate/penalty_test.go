package operate

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"culver/internal/anvilproto"
	"culver/internal/mailtest"
	"culver/internal/settings"
	"culver/internal/settings/finished"
)

// anvil plays anvil: it answers each request with what reply gives.
func anvil(t *testing.T, reply func(request string) string) Env {
	t.Helper()
	path := mailtest.Listen(t, "anvil", func(c net.Conn) {
		r := bufio.NewReader(c)
		r.ReadString('\n')
		c.Write(anvilproto.Version())
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(c, reply(strings.TrimSuffix(line, "\n")))
		}
	})
	cfg := &settings.Config{Global: finished.Bag{}, Services: []settings.Service{{Name: "anvil", Unix: []settings.UnixListener{{Path: path}}}}}
	return Env{Load: func() (*settings.Config, error) { return cfg, nil }}
}

func TestPenalty(t *testing.T) {
	t.Parallel()
	day := time.Unix(1e9, 0).Format("2006-01-02 15:04:05")
	clock := time.Unix(1e9+60, 0).Format("15:04:05")
	env := anvil(t, func(request string) string {
		switch request {
		case "PENALTY-LIST\t", "PENALTY-LIST\t192.0.0.0/8":
			return "ROW\t192.0.2.1/32\t4\t1000000000\t1000000060\tbob\nROW\t192.0.2.1/32\t2\t1000000000\t1000000060\tann\n" +
				"ROW\t2001:db8:1::/48\t1\t1000000000\t1000000060\t\nROW\t\t1\t1000000000\t1000000060\tcyd\nOK\t4\n"
		case "PENALTY-CLEAR\t\t":
			return "OK\t4\n"
		case "PENALTY-CLEAR\t192.0.2.1\tann":
			return "OK\t1\n"
		}
		return "FAIL\tnot allowed\n"
	})
	env.Formatter = "tab"
	want := strings.Join([]string{
		"IP\tpenalty\tlast_penalty\tlast_update\tuser",
		"-\t1\t" + day + "\t" + clock + "\tcyd",
		"192.0.2.1\t2\t" + day + "\t" + clock + "\tann",
		"192.0.2.1\t4\t" + day + "\t" + clock + "\tbob",
		"2001:db8:1::/48\t1\t" + day + "\t" + clock + "\t", "",
	}, "\n")
	for _, tt := range []struct {
		name string
		line []string
		out  string
		errs string
		code int
	}{
		{"all", []string{"penalty"}, want, "", 0},
		{"of a network", []string{"penalty", "192.0.0.0/8"}, want, "", 0},
		{"of nothing", []string{"penalty", "ann"}, "", "is no address", exitUsage},
		{"clear all", []string{"penalty", "clear", "all"}, "4 penalties cleared\n", "", 0},
		{"clear one", []string{"penalty", "clear", "192.0.2.1", "ann"}, "1 penalties cleared\n", "", 0},
		{"clear nothing", []string{"penalty", "clear", "ann"}, "", "is no address", exitUsage},
		{"not allowed", []string{"penalty", "10.0.0.1"}, "", "not allowed", exitNoPerm},
		{"nobody there", []string{"penalty", "-a", "/nowhere/anvil"}, "", "no such file", exitTemp},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, errs, code := ran(t, env, tt.line...)
			if out != tt.out || code != tt.code || !strings.Contains(errs, tt.errs) || tt.errs == "" && errs != "" {
				t.Errorf("got %q, %q, %d, want %q, %q, %d", out, errs, code, tt.out, tt.errs, tt.code)
			}
		})
	}
}
