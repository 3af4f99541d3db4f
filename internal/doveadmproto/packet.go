package doveadmproto

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

const (
	packetHead = 5
	// smallPacket is what comes in one piece: a number, of which a part is another.
	smallPacket = 16
)

// Packet is what one packet holds, or a piece of it.
type Packet struct {
	Channel byte
	Data    []byte // good until the next call
	More    bool   // the packet goes on
}

// ErrPacket says that a packet is larger than it may be.
var ErrPacket = errors.New("packet is larger than its limit")

// PacketReader cuts a stream into packets. It buffers a piece, never a packet,
// so that a length claims nothing.
type PacketReader struct {
	r    *bufio.Reader
	ch   byte
	left uint32
	out  int // bytes of the last piece, still in the buffer
}

// NewPacketReader reads from r, which may have been read from before.
func NewPacketReader(r *bufio.Reader) *PacketReader { return &PacketReader{r: r} }

// Next gives the next packet, or as much of it as is there. io.EOF is the end
// between two packets.
func (p *PacketReader) Next() (Packet, error) {
	p.r.Discard(p.out)
	p.out = 0
	if p.left == 0 {
		head, err := p.r.Peek(packetHead)
		if err != nil {
			if err == io.EOF && len(head) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return Packet{}, err
		}
		p.ch, p.left = head[0], binary.BigEndian.Uint32(head[1:])
		p.r.Discard(packetHead)
		if p.left == 0 {
			return Packet{Channel: p.ch}, nil
		}
	}
	// An end in a small one is told only after what there is of it.
	if head, err := p.r.Peek(int(min(p.left, smallPacket))); len(head) == 0 {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return Packet{}, err
	}
	n := min(uint32(p.r.Buffered()), p.left)
	data, err := p.r.Peek(int(n))
	p.out = len(data)
	p.left -= n
	return Packet{p.ch, data, p.left > 0}, err
}

// Ahead tells how much was read already of what comes after the last packet or
// piece, whose data stay in the buffer until the next.
func (p *PacketReader) Ahead() int { return p.r.Buffered() - p.out }

// Whole gives the next packet in one piece, if it has at most limit bytes.
func (p *PacketReader) Whole(limit int) (Packet, error) {
	first, err := p.Next()
	if err != nil || !first.More {
		if len(first.Data) > limit {
			err = ErrPacket
		}
		return first, err
	}
	all := append([]byte(nil), first.Data...)
	for more := true; more; {
		if uint64(len(all))+uint64(p.left) > uint64(limit) {
			return Packet{}, ErrPacket
		}
		next, err := p.Next()
		if err != nil {
			return Packet{}, err
		}
		all = append(all, next.Data...)
		more = next.More
	}
	return Packet{first.Channel, all, false}, nil
}

// AppendPacket adds data to out as packets of at most MaxPacket; empty data is
// an empty packet.
func AppendPacket(out []byte, ch byte, data []byte) []byte {
	for {
		n := min(len(data), MaxPacket)
		out = binary.BigEndian.AppendUint32(append(out, ch), uint32(n))
		out = append(out, data[:n]...)
		if data = data[n:]; len(data) == 0 {
			return out
		}
	}
}

// PacketWriter writes packets, each call with one write.
type PacketWriter struct {
	w   io.Writer
	buf []byte
}

// NewPacketWriter writes to w.
func NewPacketWriter(w io.Writer) *PacketWriter { return &PacketWriter{w: w} }

// Packet writes data as packets of at most MaxPacket; empty data is an empty
// packet. It keeps nothing of data.
func (p *PacketWriter) Packet(ch byte, data []byte) error {
	for {
		n := min(len(data), MaxPacket)
		p.buf = AppendPacket(p.buf[:0], ch, data[:n])
		if _, err := p.w.Write(p.buf); err != nil {
			return err
		}
		if data = data[n:]; len(data) == 0 {
			return nil
		}
	}
}

// AppendPacketHead adds the head of a packet whose n bytes of contents follow:
// for what must come in one packet, however long it is.
func AppendPacketHead(out []byte, ch byte, n int) []byte {
	return binary.BigEndian.AppendUint32(append(out, ch), uint32(n))
}
