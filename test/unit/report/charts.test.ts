import { expect, test } from 'vitest';
import { barChart, dotChart, stackedChart } from '../../report/charts.ts';

const heading = { title: 'A & B', subtitle: 'less < more' };

function numbers(chart: string, pattern: RegExp): number[] {
  return [...chart.matchAll(pattern)].map(([, value]) => Number(value));
}

test('bars are as long as their values say, the longest first', () => {
  const chart = barChart(heading, [
    { label: 'small', value: 100 },
    { label: 'large', value: 400 },
  ]);
  const [long = 0, short = 0] = numbers(chart, /width="([\d.]+)" height="14"/g);
  expect(long / short).toBeCloseTo(4, 2);
  expect(chart.indexOf('>large<')).toBeLessThan(chart.indexOf('>small<'));
});

test('dots of equal ratios are equally far apart, and stay on the axis', () => {
  const chart = dotChart(heading, { from: 1, to: 1000, unit: 'seeds', tick: String }, [
    { label: 'row', values: [1, 10, 100, 0] },
    { label: 'none', values: [], instead: 'not caught' },
  ]);
  const [one = 0, ten = 0, hundred = 0, zero = 0] = numbers(chart, /cx="([\d.]+)"/g);
  expect(ten - one).toBeCloseTo(hundred - ten, 1);
  expect(zero).toBe(one);
  expect(chart).toContain('>not caught</text>');
});

test('segments share a scale over all panels and follow the legend', () => {
  const chart = stackedChart(
    heading,
    [
      ['good', '#00ff00'],
      ['bad', '#ff0000'],
    ],
    [
      { title: 'left', rows: [{ label: 'file', counts: { bad: 1, good: 3 } }] },
      { title: 'right', rows: [{ label: 'file', counts: { good: 2 } }] },
    ],
  );
  const widths = numbers(chart, /width="([\d.]+)" height="14"/g).map((width) => width + 1);
  expect(widths).toHaveLength(3);
  const [three = 0, one = 0, two = 0] = widths;
  expect(three / one).toBeCloseTo(3, 1);
  expect(two / one).toBeCloseTo(2, 1);
});

test('a picture has its own background, and texts that end no element', () => {
  const chart = barChart(heading, [{ label: '<script>', value: 1 }]);
  expect(chart).toMatch(/<rect x="0.5" y="0.5" [^>]*fill="#ffffff"/);
  expect(chart).toContain('A &amp; B');
  expect(chart).toContain('less &lt; more');
  expect(chart).not.toContain('<script>');
});
