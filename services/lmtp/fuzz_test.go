package lmtp

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"culver/internal/lmtpproto"
)

// FuzzSession says anything at all to a front. It must answer in replies and
// nothing else, and come to an end.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"LHLO x\r\nMAIL FROM:<a@b> SIZE=3\r\nRCPT TO:<bob@x>\r\nRCPT TO:<nobody@x>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n",
		"MAIL FROM:<>\nRCPT TO:<bob@x>\nRCPT TO:<bob@x>\nBDAT 3\r\nabcBDAT 2 LAST\r\nxyNOOP\r\n",
		"BDAT 99999999999\r\nabc", "XCLIENT ADDR=1\r\nSTARTTLS\r\nVRFY\r\n\r\n\x00\r\n",
	} {
		f.Add([]byte(s))
	}
	w := start(f, testOptions(f), "unix", Listener{})
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := net.Dial("unix", w.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		go func() {
			c.Write(in) // fails when the session ended over an earlier part
			c.(*net.UnixConn).CloseWrite()
		}()
		br := bufio.NewReaderSize(c, 2*lmtpproto.MaxReplyLine)
		for {
			r, err := lmtpproto.ReadReply(br)
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatalf("%q: %v", in, err)
			}
			if r.Enhanced == "4.3.0" { // a delivery that failed
				t.Fatalf("%q: %d %s %s, though nothing is out of order", in, r.Code, r.Enhanced, r.Text)
			}
		}
	})
}
