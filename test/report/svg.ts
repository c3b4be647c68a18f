/** Pictures as text: as much of SVG as the charts need. They bring their own background. */

export const colours = {
  paper: '#ffffff',
  frame: '#d0d7de',
  grid: '#e4e8ec',
  ink: '#1f2328',
  quiet: '#57606a',
  // Told apart by colour-blind readers as well (Okabe and Ito).
  blue: '#0072b2',
  green: '#009e73',
  orange: '#e69f00',
  purple: '#a05195',
  red: '#d55e00',
  grey: '#aab2ba',
} as const;

type Attributes = Readonly<Record<string, string | number>>;

export function element(name: string, attributes: Attributes, ...children: string[]): string {
  const written = Object.entries(attributes).map(([key, value]) => {
    const text = typeof value === 'number' ? String(Math.round(value * 100) / 100) : value;
    return ` ${key}="${escaped(text)}"`;
  });
  const opening = `<${name}${written.join('')}`;
  return children.length === 0 ? `${opening}/>` : `${opening}>${children.join('')}</${name}>`;
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

export interface LabelStyle {
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly size?: number;
  readonly weight?: 'normal' | 'bold';
  readonly fill?: string;
}

/** A line of text whose middle is at `y`. */
export function label(x: number, y: number, text: string, style: LabelStyle = {}): string {
  const { anchor = 'start', size = 12, weight = 'normal', fill = colours.ink } = style;
  const attributes = {
    x,
    y: y + size * 0.35,
    'text-anchor': anchor,
    'font-size': size,
    'font-weight': weight,
    fill,
  };
  return element('text', attributes, escaped(text));
}

export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly title: string;
  /** Under the title: how to read the picture. */
  readonly subtitle: string;
}

/** Where the content begins, below title and subtitle. */
export const headHeight = 64;
const margin = 16;

export function picture({ width, height, title, subtitle }: Picture, content: string[]): string {
  const paper = { x: 0.5, y: 0.5, width: width - 1, height: height - 1, rx: 6 };
  const frame = { ...paper, fill: colours.paper, stroke: colours.frame };
  const root = {
    xmlns: 'http://www.w3.org/2000/svg',
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: 'img',
    'font-family': 'Helvetica, Arial, sans-serif',
  };
  const parts = [
    element('title', {}, escaped(title)),
    element('rect', frame),
    label(margin, 22, title, { size: 15, weight: 'bold' }),
    label(margin, 43, subtitle, { fill: colours.quiet }),
    ...content,
  ];
  return `${element('svg', root, `\n${parts.join('\n')}\n`)}\n`;
}

/** Room that a text takes, roughly: letters differ, and nobody measures them here. */
export function widthOf(text: string, size = 12): number {
  return text.length * size * 0.56;
}
