package schemas

import (
	"encoding/binary"
	"testing"
)

// A name that is expected must be the one that the look-up knows.
func TestKeyWordsAreTheFieldsNames(t *testing.T) {
	for f, k := range keyWords {
		if field(f) == fieldNone {
			continue
		}
		text := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, k.low), k.high)[:min(k.size, 16)]
		if len(k.text) != k.size || k.text[:len(text)] != string(text) || fieldOf([]byte(k.text[1:k.size-2])) != field(f) {
			t.Errorf("field %d is expected as %s, %s", f, k.text, text)
		}
	}
}

// Records of one decoder may have their members in any order, written in any way.
func TestDecodeFollowsAnyOrder(t *testing.T) {
	d := newDecoder(t, Options{})
	for _, in := range []string{
		`{"client_ip":"192.0.2.1","method":"GET","path":"/a","status":200,"user_id":"u1","x_forwarded_for":"1.1.1.1","mine":1}`,
		`{"client_ip":"192.0.2.1","method":"GET","path":"/a","status":200,"x_forwarded_for":"1.1.1.1","user_id":"u1","mine":1}`,
		`{"client_ip" : "192.0.2.1", "method": "GET", "path":	"/a", "status": 200 ,"mine":1, "x_forwarded_for":"1.1.1.1","user_id": "u1"}`,
		`{"client_ip":"192.0.2.9","client_ip":"192.0.2.1","meth\u006fd":"GET","method":"GET","path":"/a","user_id":"u1","status":200,"mine":1,"x_forwarded_for":"1.1.1.1"}`,
	} {
		for range 2 {
			var ev Event
			if err := d.Decode([]byte(in), &ev); err != nil {
				t.Fatalf("%s: %v", in, err)
			}
			if ev.ClientIP.String() != "192.0.2.1" || string(ev.Method) != "GET" || string(ev.Path) != "/a" || ev.Status != 200 || string(ev.UserID) != "u1" ||
				string(ev.XForwardedFor) != "1.1.1.1" || string(ev.Lookup("mine")) != "1" || len(ev.Extra) != 1 {
				t.Errorf("%s: decoded %+v", in, ev)
			}
		}
	}
	for _, in := range []string{`{"client_ip"`, `{"client_ip":`, `{"client_ip":"192.0.2.1","method"`, `{"client_ip":"192.0.2.1","method":}`} {
		if err := d.Decode([]byte(in), &Event{}); reasonOf(t, err) != ReasonJSON {
			t.Errorf("%s: %v", in, err)
		}
	}
}
