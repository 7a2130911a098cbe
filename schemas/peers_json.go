package schemas

import (
	"errors"
	"strconv"

	"github.com/tidwall/gjson"
)

// maxPeerName bounds the name of a client in a summary; an address or a range is shorter.
const maxPeerName = 256

func appendPeers(dst []byte, p *Peers) []byte {
	dst = append(dst, '{')
	if len(p.Moves) > 0 {
		dst = appendList(append(dst, `"moves":`...), p.Moves, appendPeerMove)
	}
	if len(p.Tops) > 0 {
		if len(p.Moves) > 0 {
			dst = append(dst, ',')
		}
		dst = appendList(append(dst, `"tops":`...), p.Tops, appendPeerTotal)
	}
	return append(dst, '}')
}

func appendPeerMove(dst []byte, m PeerMove) []byte {
	dst = appendInt(append(dst, '['), int64(m.Bin))
	return append(appendInt(append(dst, ','), m.Count), ']')
}

func appendPeerTotal(dst []byte, t PeerTotal) []byte {
	dst = appendString(append(dst, '['), t.Client)
	return append(appendFloat(append(dst, ','), t.Total), ']')
}

// field takes one field of the JSON object.
func (p *Peers) field(name string, v gjson.Result) (err error) {
	switch name {
	case "moves":
		var pair [2]string
		return eachTuple(v.Raw, pair[:], func() error {
			bin, err := strconv.ParseUint(pair[0], 10, 8)
			count, err2 := strconv.ParseInt(pair[1], 10, 64)
			p.Moves = append(p.Moves, PeerMove{Bin: uint8(bin), Count: count})
			return errors.Join(err, err2)
		})
	case "tops":
		v.ForEach(func(_, pair gjson.Result) bool {
			both := pair.Array()
			if len(both) != 2 || both[0].Type != gjson.String || both[1].Type != gjson.Number {
				err = errors.New("it is no list of clients and totals")
				return false
			}
			p.Tops = append(p.Tops, PeerTotal{Client: both[0].Str, Total: both[1].Num})
			return true
		})
	}
	return err
}

// check says what cannot be merged.
func (p *Peers) check() error {
	for i, m := range p.Moves {
		if m.Bin >= PeerBins || m.Count == 0 || m.Count < -1<<53 || m.Count > 1<<53 || i > 0 && m.Bin <= p.Moves[i-1].Bin {
			return errors.New("its moves of peers are out of order, or of no bin")
		}
	}
	for i, t := range p.Tops {
		if t.Client == "" || len(t.Client) > maxPeerName || !(t.Total >= 0) || i > 0 && comparePeers(p.Tops[i-1], t) >= 0 {
			return errors.New("its clients are out of order, or without a name")
		}
	}
	if len(p.Tops) > PeerTops {
		return errors.New("it names more clients than a summary may")
	}
	return nil
}
