package server

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"culver/internal/doveadmproto"
)

// FuzzSession says anything at all to a front. Its answers must be whole packets
// and whole replies, and come to an end.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"\talice\tsearch\tall\n\tbob\tsave\nhi\r\n.\r\n\t\tOPTION\tculver\n\tc\tmailbox\tlist\n",
		"\tbob\tcopy\tINBOX\tuser\talice\tall\n\t\tCANCEL\n\n", "vDx\ta=b\talice\tfetch\t-A\tuid hdr\tall\r\n",
		"\tbob\tsave\t--dry-run\n\tbob\tsave\t-Z\n\talice\tbatch\t:\tsearch\tall\n", "\t\t\n", "\x00\x01\t\x01t\tx\n",
	} {
		f.Add([]byte(s), byte(2))
	}
	w := start(f, testOptions())
	f.Fuzz(func(t *testing.T, in []byte, minor byte) {
		minor = 1 + minor%4
		c, err := net.Dial("unix", w.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		go func() {
			io.WriteString(c, "VERSION\tdoveadm-server\t1\t"+string('0'+minor)+"\n")
			c.Write(in) // fails when the session ended over an earlier part
			c.(*net.UnixConn).CloseWrite()
		}()
		br := bufio.NewReader(c)
		for _, want := range []string{doveadmproto.ServerVersion, "+\n"} {
			if got, err := br.ReadString('\n'); got != want {
				t.Fatalf("%q: handshake %q, %v", in, got, err)
			}
		}
		packets := doveadmproto.NewPacketReader(br)
		reply, fresh := &doveadmproto.ReplyReader{}, true
		for {
			p, err := packets.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%q: %v", in, err)
			}
			if p.Channel != doveadmproto.ChReply {
				continue
			}
			for rest := p.Data; len(rest) > 0; {
				var done bool
				fresh = false
				if rest, done, err = reply.Feed(rest, func([]byte, bool) error { return nil }); err != nil {
					t.Fatalf("%q: %v", in, err)
				}
				if done {
					if s := reply.Status(); s != "+" && !strings.HasPrefix(s, "-") {
						t.Fatalf("%q: status %q", in, s)
					}
					reply, fresh = &doveadmproto.ReplyReader{}, true
				}
			}
		}
		if !fresh {
			t.Fatalf("%q: a reply without its status line", in)
		}
	})
}
