package arrows

import (
	"strings"
	"testing"
)

// arrow bars imports from one room. The first rule whose room fits decides
// nothing alone: all that fit must hold.
type arrow struct {
	room   string   // files in and below this folder
	except string   // but for this one
	bars   []string // packages they may not import, each with what is below it
	why    string
}

var arrows = []arrow{
	{room: "internal", bars: []string{"culver/master", "culver/services", "culver/cmd", "culver/test"},
		why: "internal/ is shared and knows none of its users"},
	{room: "services", bars: []string{"culver/master", "culver/cmd", "culver/test"},
		why: "a service meets the master in internal/handoff only"},
	{room: "services", except: "services/doveadm/brain", bars: []string{"culver/internal/config"},
		why: "children receive finished settings and never see configuration text"},
	{room: "master", bars: []string{"culver/services", "culver/cmd", "culver/test"},
		why: "the master starts programs and links none of them"},
	{room: "master", bars: []string{"culver/internal/lmtpproto", "culver/internal/doveadmproto", "culver/internal/mailstore",
		"net/http", "net/textproto", "net/mail", "encoding/json", "encoding/xml", "encoding/gob"},
		why: "root parses nothing that came from a network"},
	{room: "master/roster", bars: []string{"os", "syscall", "golang.org/x/sys", "net", "culver/master"},
		why: "the roster decides and makes no system call"},
	{room: "internal/handoff", bars: []string{"os", "syscall", "golang.org/x/sys", "net"}, why: "handoff is pure"},
	{room: "internal/settings", bars: []string{"github.com/hashicorp", "culver/internal/config"},
		why: "settings are known without the language they are written in"},
	{room: "internal/mailstore/maildir", bars: []string{"culver/internal/lmtpproto", "culver/internal/handoff",
		"culver/internal/worker", "culver/internal/settings", "culver/internal/authproto"},
		why: "the store has never heard of a protocol"},
	{room: "cmd", bars: []string{"culver/test"}, why: "programs link no tests"},
}

// homes are the modules of others and the rooms that may import them; tests may
// import any.
var homes = map[string][]string{
	"github.com/hashicorp/hcl/v2":      {"internal/config"},
	"github.com/zclconf/go-cty":        {"internal/config"},
	"github.com/coreos/go-systemd/v22": {"master"},
	"github.com/pires/go-proxyproto":   {"services/lmtp", "internal/lmtpproto"},
	"github.com/vbauerster/mpb/v8":     {"services/doveadm/brain"},
	"github.com/go-crypt/crypt":        {"internal/password"},
	"github.com/sony/gobreaker/v2":     {"services/auth/guard"},
	"github.com/go-crypt/x":            {"internal/password"},
	"golang.org/x/sync":                {"services/auth"},
	"golang.org/x/sys":                 {"cmd", "internal", "master", "services"},
	"golang.org/x/text":                {"internal/mailmessage", "services/doveadm/worker"},
}

func TestImportArrows(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, path := range s.imports {
			for _, a := range arrows {
				if !within(s.dir, a.room) || a.except != "" && within(s.dir, a.except) {
					continue
				}
				for _, barred := range a.bars {
					// A room below master/ may import its neighbours, itself included.
					if within(path, barred) && !within(module+s.dir, barred) {
						t.Errorf("%s imports %s: %s", s.name, path, a.why)
					}
				}
			}
			if within(path, "culver/internal/mailtest") {
				t.Errorf("%s imports %s: it is for tests only", s.name, path)
			}
		}
	}
}

func TestNoServiceImportsAnother(t *testing.T) {
	t.Parallel()
	service := func(path string) string {
		rest, ok := strings.CutPrefix(path, "services/")
		if !ok {
			return ""
		}
		name, _, _ := strings.Cut(rest, "/")
		return name
	}
	for _, s := range sources(t) {
		own := service(s.dir)
		for _, path := range s.imports {
			other := service(strings.TrimPrefix(path, module))
			if own != "" && other != "" && own != other && !s.test {
				t.Errorf("%s imports %s: services meet in a protocol package", s.name, path)
			}
		}
	}
}

func TestOtherPeoplesModulesStayInTheirRooms(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for _, path := range s.imports {
			first, _, _ := strings.Cut(path, "/")
			if s.test || !strings.Contains(first, ".") {
				continue
			}
			allowed := false
			for mod, rooms := range homes {
				for _, room := range rooms {
					allowed = allowed || within(path, mod) && within(s.dir, room)
				}
			}
			if !allowed {
				t.Errorf("%s imports %s, which has no home there", s.name, path)
			}
		}
	}
}
