package main

import (
	"bytes"
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
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
	p.Title.Text = c.Title
	p.Title.Padding = vg.Points(8)
	p.Title.TextStyle.Font.Size = vg.Points(12)
	for _, a := range []struct {
		axis *plot.Axis
		of   axis
	}{{&p.X, c.X}, {&p.Y, c.Y}} {
		a.axis.Label.Text = a.of.Label
		a.axis.Label.TextStyle.Font.Size = vg.Points(10)
		a.axis.Tick.Marker = figureTicks{of: plot.DefaultTicks{}}
		if a.of.Log {
			a.axis.Scale, a.axis.Tick.Marker = plot.LogScale{}, figureTicks{of: plot.LogTicks{Prec: -1}}
		}
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
	p.Legend.TextStyle.Font.Size = vg.Points(9)
	p.Legend.Padding = vg.Points(3)
	if !c.Y.Log {
		p.Y.Min = 0
		p.Y.Max *= 1.15 // room for the legend
	}
	canvas := vgsvg.New(pictureWide, pictureHigh)
	p.Draw(draw.Crop(draw.New(canvas), vg.Points(6), -vg.Points(14), vg.Points(6), -vg.Points(6)))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("writing the picture: %w", err)
	}
	return out.Bytes(), nil
}

// figureTicks labels ticks as people write figures.
type figureTicks struct{ of plot.Ticker }

// Ticks implements plot.Ticker.
func (t figureTicks) Ticks(low, high float64) []plot.Tick {
	ticks := t.of.Ticks(low, high)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = shortFigure(ticks[i].Value)
		}
	}
	return ticks
}

// shortFigure writes 10,000 as 10 k.
func shortFigure(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%g M", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%g k", v/1e3)
	}
	return fmt.Sprintf("%g", v)
}
