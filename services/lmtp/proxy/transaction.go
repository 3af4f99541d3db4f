package proxy

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"culver/internal/lmtpproto"
)

// Sender is what MAIL says.
type Sender struct {
	From     lmtpproto.Path
	EightBit bool
	UTF8     bool
	Size     int64 // 0: not known
}

// Recipient is what RCPT says.
type Recipient struct {
	To    lmtpproto.Path
	ORCPT string // with its type; "" is none
}

// Mail puts MAIL in front of the next Rcpts. Its reply is read there.
func (c *Conn) Mail(s Sender) {
	c.out = append(append(append(c.out, "MAIL FROM:<"...), s.From.String()...), '>')
	if s.EightBit && c.has("8BITMIME") {
		c.out = append(c.out, " BODY=8BITMIME"...)
	}
	if s.UTF8 && c.has("SMTPUTF8") {
		c.out = append(c.out, " SMTPUTF8"...)
	}
	if s.Size > 0 && c.has("SIZE") {
		c.out = strconv.AppendInt(append(c.out, " SIZE="...), s.Size, 10)
	}
	c.out = append(c.out, "\r\n"...)
	c.Used = true
}

func (c *Conn) has(keyword string) bool { _, ok := c.caps[keyword]; return ok }

// Rcpt sends the commands of some recipients in one go, after MAIL's where that
// is still to be sent, and gives the reply to each. An error means that the
// connection is of no more use, and that no recipient of it was delivered to.
func (c *Conn) Rcpt(ctx context.Context, all []Recipient) ([]lmtpproto.Reply, error) {
	mail := len(c.out) > 0
	for _, r := range all {
		c.out = append(append(append(c.out, "RCPT TO:<"...), r.To.String()...), '>')
		if r.ORCPT != "" && c.has("DSN") {
			c.out = append(append(c.out, " ORCPT="...), r.ORCPT...)
		}
		c.out = append(c.out, "\r\n"...)
	}
	defer c.limit(ctx)()
	if err := c.flush(); err != nil {
		return nil, err
	}
	if mail {
		if r, err := c.reply("MAIL"); err != nil {
			return nil, err
		} else if !r.Ok() {
			return nil, fmt.Errorf("reply to MAIL: %d %s %s", r.Code, r.Enhanced, r.Text)
		}
	}
	replies := make([]lmtpproto.Reply, len(all))
	for i := range all {
		r, err := c.reply("RCPT")
		if err != nil {
			return nil, err
		}
		replies[i] = r
	}
	return replies, nil
}

// Reset ends a transaction without a message.
func (c *Conn) Reset(ctx context.Context) error {
	defer c.limit(ctx)()
	return c.ask(250, "RSET", "RSET")
}

// limit bounds one command by Place.Timeout and ctx.
func (c *Conn) limit(ctx context.Context) (release func()) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	stop := c.until(ctx)
	return func() { stop(); cancel() }
}

func (c *Conn) flush() error {
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

func (c *Conn) reply(what string) (lmtpproto.Reply, error) {
	r, err := lmtpproto.ReadReply(c.br)
	if err != nil {
		return r, fmt.Errorf("reply to %s: %w", what, early(err))
	}
	return r, nil
}

// pieceSize is how much of a message is sent by one write.
const pieceSize = 64 << 10

// Message sends the message of size bytes for n accepted recipients, and calls
// each with every reply as it comes: n of them, or with SMTP n times the one.
// An error means that the recipients without a reply may or may not have the
// mail. BDAT keeps the bytes as they are and leaves no end of data to be found
// in the wrong place (RFC 3030); for a backend without it line ends are made CRLF.
func (c *Conn) Message(ctx context.Context, message io.Reader, size int64, n int, each func(i int, r lmtpproto.Reply)) error {
	var err error
	if c.has("CHUNKING") {
		err = c.chunk(ctx, message, size)
	} else {
		err = c.data(ctx, message)
	}
	if err != nil {
		return fmt.Errorf("sending the message: %w", early(err))
	}
	replies := n
	if c.SMTP {
		replies = 1
	}
	for i := range replies {
		// Each reply has the time that one takes; all of them have ctx's.
		release := c.limit(ctx)
		r, err := c.reply("the message")
		release()
		if err != nil {
			return err
		}
		each(i, r)
		for j := i + 1; c.SMTP && j < n; j++ {
			each(j, r)
		}
	}
	return nil
}

func (c *Conn) chunk(ctx context.Context, message io.Reader, size int64) error {
	if err := c.push(ctx, append(strconv.AppendInt([]byte("BDAT "), size, 10), " LAST\r\n"...)); err != nil {
		return err
	}
	piece := make([]byte, pieceSize)
	for rest := size; rest > 0; {
		n, err := io.ReadFull(message, piece[:min(rest, pieceSize)])
		if err != nil {
			return err
		}
		if err := c.push(ctx, piece[:n]); err != nil {
			return err
		}
		rest -= int64(n)
	}
	return nil
}

func (c *Conn) data(ctx context.Context, message io.Reader) error {
	release := c.limit(ctx)
	err := c.ask(354, "DATA", "DATA")
	release()
	if err != nil {
		return err
	}
	var stuffing lmtpproto.Stuffing
	piece := make([]byte, pieceSize)
	out := make([]byte, 0, 2*pieceSize+8)
	for {
		n, err := message.Read(piece)
		out = stuffing.Append(out[:0], piece[:n])
		if err == io.EOF {
			return c.push(ctx, stuffing.End(out))
		}
		if err != nil {
			return err
		}
		if err := c.push(ctx, out); err != nil {
			return err
		}
	}
}

// push writes a piece. A backend that stops reading has the time of one reply
// for each.
func (c *Conn) push(ctx context.Context, p []byte) error {
	defer c.limit(ctx)()
	_, err := c.conn.Write(p)
	return err
}
