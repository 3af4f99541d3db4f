package peer

import (
	"bufio"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"culver/internal/tabline"
	"culver/services/doveadm/command"
)

// listener plays a doveadm server that is content with everything, and gives
// the fields of the one command it was sent.
func listener(t *testing.T, path string) <-chan []string {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan []string, 1)
	go func() {
		defer l.Close()
		defer close(got)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		r := bufio.NewReader(conn)
		if _, err := r.ReadString('\n'); err != nil { // VERSION
			return
		}
		conn.Write([]byte("VERSION\tdoveadm-client\t1\t2\n+\n"))
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		fields := tabline.Split(strings.TrimSuffix(line, "\n"))
		for fields[2] == "save" && line != ".\r\n" {
			if line, err = r.ReadString('\n'); err != nil {
				return
			}
		}
		conn.Write([]byte("\x00\x00\x00\x00\x03\n+\n"))
		got <- fields
		r.ReadByte() // until the client is gone
	}()
	return got
}

// What our client would send is what Dovecot's client sends, for every command
// line but those whose choice of users we keep to ourselves.
func TestCommandLinesAreThoseOfDovecotsClient(t *testing.T) {
	t.Parallel()
	needs(t)
	dir, users := someUsers(t, 1)
	d := startDovecot(t, dir, users)
	for i, line := range []string{
		"search|-u|alice|mailbox|INBOX|all",
		"search|mailbox|INBOX|all|-u|alice",
		"search|-ualice|all",
		"search|--user|alice|all",
		"search|--user=alice|all",
		"search|-u|alice|--|subject|-x",
		"fetch|-u|alice|uid hdr|mailbox|INBOX|uid|2",
		"expunge|-u|alice|-d|mailbox|Trash|savedbefore|30d",
		"expunge|--delete-empty-mailbox|-u|alice|mailbox|Trash|all",
		"flags|add|-u|alice|\\Seen \\Flagged|mailbox|Work|uid|1",
		"flags|remove|-u|alice|kw|mailbox|Work|uid|1",
		"flags|replace|-u|alice|kw|mailbox|Work|uid|1",
		"copy|-u|bob|INBOX|user|alice|mailbox|Work|uid|1",
		"copy|-u|bob|INBOX|mailbox|Work|uid|1",
		"move|-u|bob|Archive|mailbox|Work|uid|1",
		"save|-u|bob|-m|INBOX",
		"save|-u|bob",
		"import|-u|bob|-s|-U|alice|maildir:/tmp/none|x|all",
		"deduplicate|-u|bob|-m|mailbox|INBOX|all",
		"index|-u|bob|-n|5|-q|INBOX",
		"purge|-u|bob",
		"force-resync|-u|bob|-f|INBOX*",
		"mailbox|list|-u|bob",
		"mailbox|list|-8s|-u|bob|*|a",
		"mailbox|status|-u|bob|-t|messages vsize|INBOX|Work",
		"mailbox|status|-u|bob|messages vsize|*",
		"mailbox|create|-u|bob|-s|Entw\u00fcrfe",
		"mailbox|create|-s|-g|0123456789abcdef0123456789abcdef|-u|bob|a",
		"mailbox|delete|-u|bob|-Zres|a|b",
		"mailbox|rename|-u|bob|-s|a|b",
		"mailbox|subscribe|-u|bob|a",
		"mailbox|unsubscribe|-u|bob|a",
		"mailbox|update|-u|bob|-P|5|-H|4|-R|2|-N|3|-V|1|a",
		"mailbox|update|-u|bob|--min-first-recent-uid|3|--min-highest-pvt-modseq|4|--min-next-uid|9|a",
		"mailbox|path|-u|bob|-t|control|a",
		"batch|-u|bob|,|search|all|,|mailbox|status|all|*",
	} {
		words := strings.Split(line, "|")
		spec, rest, err := command.Find(words)
		if err != nil {
			t.Fatal(err)
		}
		p, err := spec.Parse(rest)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "listener"+string(rune('a'+i%26))+string(rune('a'+i/26)))
		got := listener(t, path)
		n := len(strings.Fields(spec.Name))
		args := append(slices.Clone(words[:n]), append([]string{"-S", path}, rest...)...)
		said, err := d.Doveadm("Subject: x\n\nx\n", args...)
		if err != nil || said.Code != 0 {
			t.Errorf("%s: %+v %v", line, said, err)
			continue
		}
		want := append([]string{"", p.Value("user"), spec.Name}, p.Wire()...)
		if fields := <-got; !slices.Equal(fields, want) {
			t.Errorf("%s\nDovecot sends %q\nwe send       %q", line, fields, want)
		}
	}
}
