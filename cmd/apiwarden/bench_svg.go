package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	pictureWide = 16 * vg.Centimeter
	pictureHigh = 9 * vg.Centimeter
)

// pictureColors tell series apart, also for those who see red and green alike
// (Okabe and Ito's palette).
var pictureColors = [...]color.Color{
	color.RGBA{0x00, 0x72, 0xb2, 0xff}, color.RGBA{0xd5, 0x5e, 0x00, 0xff}, color.RGBA{0x00, 0x9e, 0x73, 0xff},
	color.RGBA{0xcc, 0x79, 0xa7, 0xff}, color.RGBA{0x56, 0xb4, 0xe9, 0xff}, color.RGBA{0xe6, 0x9f, 0x00, 0xff},
}

// drawCurve gives a curve as an SVG picture.
func drawCurve(c curve) ([]byte, error) {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text, p.Title.Padding = c.Title, vg.Points(8)
	for _, t := range []struct {
		style *text.Style
		size  vg.Length
	}{
		{&p.Title.TextStyle, 12}, {&p.X.Label.TextStyle, 10}, {&p.Y.Label.TextStyle, 10},
		{&p.X.Tick.Label, 9}, {&p.Y.Tick.Label, 9}, {&p.Legend.TextStyle, 9},
	} {
		t.style.Font.Variant, t.style.Font.Size = "Sans", t.size
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{0xe0}, color.Gray{0xe0}
	p.Add(grid)
	for i, s := range c.Series {
		points := make(plotter.XYs, len(s.Points))
		for j, at := range s.Points {
			points[j] = plotter.XY{X: at.X, Y: at.Y}
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, fmt.Errorf("drawing %s: %w", s.Name, err)
		}
		line.Color, line.Width = pictureColors[i%len(pictureColors)], vg.Points(1.5)
		dots.Color, dots.Shape, dots.Radius = line.Color, draw.CircleGlyph{}, vg.Points(2.5)
		p.Add(line, dots)
		if len(c.Series) > 1 {
			p.Legend.Add(s.Name, line, dots)
		}
	}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding, p.Legend.XOffs, p.Legend.YOffs = vg.Points(3), vg.Points(8), -vg.Points(2)
	setAxis(&p.X, c.X)
	setAxis(&p.Y, c.Y)
	switch room := 1 + 0.12*float64(len(c.Series)); { // for the legend
	case c.Y.Log:
		p.Y.Min = math.Pow(10, math.Floor(math.Log10(p.Y.Min)))
		p.Y.Max = math.Pow(10, math.Ceil(math.Log10(p.Y.Max)*1.05))
	default:
		p.Y.Min, p.Y.Max = 0, p.Y.Max*room
	}
	if !c.X.Log {
		p.X.Min = 0
	}
	canvas := vgsvg.New(pictureWide, pictureHigh)
	p.Draw(draw.Crop(draw.New(canvas), vg.Points(6), -vg.Points(16), vg.Points(6), -vg.Points(6)))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("writing the picture: %w", err)
	}
	return out.Bytes(), nil
}

// setAxis gives an axis its label, scale and ticks; what it spans is known by then.
func setAxis(a *plot.Axis, of axis) {
	a.Label.Text, a.Label.Padding = of.Label, vg.Points(4)
	a.Tick.Marker = figureTicks{of: plot.DefaultTicks{}}
	if of.Log {
		a.Scale, a.Tick.Marker = plot.LogScale{}, figureTicks{of: plot.LogTicks{Prec: -1}}
	}
}

// figureTicks labels ticks as people write figures.
type figureTicks struct{ of plot.Ticker }

// Ticks implements plot.Ticker.
func (t figureTicks) Ticks(low, high float64) []plot.Tick {
	ticks := t.of.Ticks(low, high)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = figure(ticks[i].Value)
		}
	}
	return ticks
}
