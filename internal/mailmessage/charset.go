package mailmessage

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
)

// charset finds how bytes of a charset become UTF-8; nil is UTF-8 itself, and
// ASCII, which is part of it. What is not known is taken for UTF-8: its ASCII
// letters are found all the same, and the rest becomes U+FFFD.
func charset(name string) encoding.Encoding {
	switch name = strings.ToLower(strings.Trim(name, " \t\"'")); name {
	case "iso-8859-1", "latin1", "l1", "iso_8859-1", "cp819":
		return charmap.Windows1252 // what those who say Latin-1 mean; C1 codes are in no mail
	case "iso-8859-2", "latin2":
		return charmap.ISO8859_2
	case "iso-8859-3":
		return charmap.ISO8859_3
	case "iso-8859-4":
		return charmap.ISO8859_4
	case "iso-8859-5":
		return charmap.ISO8859_5
	case "iso-8859-6":
		return charmap.ISO8859_6
	case "iso-8859-7":
		return charmap.ISO8859_7
	case "iso-8859-8", "iso-8859-8-i":
		return charmap.ISO8859_8
	case "iso-8859-9", "latin5":
		return charmap.ISO8859_9
	case "iso-8859-10":
		return charmap.ISO8859_10
	case "iso-8859-13":
		return charmap.ISO8859_13
	case "iso-8859-14":
		return charmap.ISO8859_14
	case "iso-8859-15", "latin9", "latin-9":
		return charmap.ISO8859_15
	case "iso-8859-16":
		return charmap.ISO8859_16
	case "koi8-r":
		return charmap.KOI8R
	case "koi8-u":
		return charmap.KOI8U
	case "macintosh":
		return charmap.Macintosh
	case "ibm437", "cp437":
		return charmap.CodePage437
	case "ibm850", "cp850":
		return charmap.CodePage850
	case "ibm866", "cp866":
		return charmap.CodePage866
	case "windows-874", "tis-620":
		return charmap.Windows874
	case "shift_jis", "shift-jis", "sjis", "cp932", "windows-31j":
		return japanese.ShiftJIS
	case "euc-jp":
		return japanese.EUCJP
	case "iso-2022-jp":
		return japanese.ISO2022JP
	case "euc-kr", "ks_c_5601-1987", "cp949":
		return korean.EUCKR
	case "gb2312", "gbk", "cp936":
		return simplifiedchinese.GBK
	case "gb18030":
		return simplifiedchinese.GB18030
	case "hz-gb-2312":
		return simplifiedchinese.HZGB2312
	case "big5", "big5-hkscs":
		return traditionalchinese.Big5
	case "utf-16":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	case "utf-16be":
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	case "utf-16le":
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	}
	if n, ok := strings.CutPrefix(name, "windows-"); ok {
		return windows(n)
	}
	if n, ok := strings.CutPrefix(name, "cp"); ok {
		return windows(n)
	}
	return nil
}

func windows(number string) encoding.Encoding {
	switch number {
	case "1250":
		return charmap.Windows1250
	case "1251":
		return charmap.Windows1251
	case "1252":
		return charmap.Windows1252
	case "1253":
		return charmap.Windows1253
	case "1254":
		return charmap.Windows1254
	case "1255":
		return charmap.Windows1255
	case "1256":
		return charmap.Windows1256
	case "1257":
		return charmap.Windows1257
	case "1258":
		return charmap.Windows1258
	}
	return nil
}

// plain tells whether a charset leaves ASCII letters as they are, so that an
// ASCII text may be looked for in the bytes as they stand.
func plain(name string) bool {
	switch strings.ToLower(name) {
	case "iso-2022-jp", "hz-gb-2312", "utf-16", "utf-16be", "utf-16le", "utf-7":
		return false
	}
	return true
}

// toUTF8 decodes bytes of a charset.
func toUTF8(name string, text []byte) string {
	if e := charset(name); e != nil {
		if out, err := e.NewDecoder().Bytes(text); err == nil {
			return string(out)
		}
	}
	if utf8.Valid(text) {
		return string(text)
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}
