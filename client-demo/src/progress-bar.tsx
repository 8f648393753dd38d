interface Props {
  readonly label: string
  readonly value: number
  readonly max: number
  /** What the value means, where it is no percentage. */
  readonly text?: string
  readonly tone?: 'accent' | 'quiet' | 'good' | 'bad' | 'busy'
}

export function ProgressBar({ label, value, max, text, tone = 'accent' }: Props) {
  const share = max > 0 ? Math.min(1, value / max) : 0
  return (
    <div
      className="progress"
      data-tone={tone}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={max}
      aria-valuenow={value}
      aria-valuetext={text}
    >
      <span style={{ transform: `scaleX(${share})` }} />
    </div>
  )
}
