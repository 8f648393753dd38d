import { join } from 'node:path'
import { execa } from 'execa'
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from 'playwright-core'
import { programPath } from '../services/requirements.ts'

const BUILD_PAGE = join(import.meta.dirname, '..', '..', 'scripts', 'build-page.ts')

/** Builds the page unless what is there was made from the same sources. */
export async function buildPage(): Promise<void> {
  await execa(process.execPath, [BUILD_PAGE])
}

/** A Chromium of its own, with a fresh profile that goes when it is closed. */
export async function launchBrowser(): Promise<Browser> {
  return await chromium.launch({
    executablePath: programPath('chromium'),
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}

/**
 * Whatever the pages of a context complain of, as it comes: errors and warnings in the console, exceptions nobody
 * caught, and violations of the Content-Security-Policy.
 */
export async function complaintsOf(context: BrowserContext): Promise<string[]> {
  const complaints: string[] = []
  context.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  context.on('weberror', (error) => complaints.push(String(error.error())))
  await context.addInitScript(() => {
    addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
      console.error(`CSP: ${violatedDirective} blocked ${blockedURI}`),
    )
  })
  return complaints
}

/** What one row of the uploads shows of itself, each time that it changes. */
export type RowSight = { name: string; state: string; text: string; percent: number | null }

/** Everything the upload rows of a page ever show, in order, however short it is to be seen. */
export async function watchRows(page: Page): Promise<RowSight[]> {
  const sights: RowSight[] = []
  await page.exposeFunction('landfallRowSeen', (sight: RowSight) => void sights.push(sight))
  await page.addInitScript(() => {
    const { landfallRowSeen } = globalThis as unknown as { landfallRowSeen(sight: RowSight): void }
    const last = new Map<string, string>()
    new MutationObserver(() => {
      for (const row of document.querySelectorAll<HTMLElement>('[data-testid="upload-row"]')) {
        const percent = row.querySelector('[role="progressbar"][aria-valuemax="100"]')
        const sight = {
          name: row.dataset.name ?? '',
          state: row.dataset.state ?? '',
          text: row.querySelector('[aria-live]')?.textContent ?? '',
          percent: percent === null ? null : Number(percent.getAttribute('aria-valuenow')),
        }
        const key = JSON.stringify(sight)
        if (last.get(sight.name) === key) continue
        last.set(sight.name, key)
        landfallRowSeen(sight)
      }
    }).observe(document, { subtree: true, childList: true, attributes: true, characterData: true })
  })
  return sights
}

/** Drags a file of this machine over the page and lets go of it there, as a person does with the mouse. */
export async function dropFile(page: Page, path: string): Promise<void> {
  await page.locator('.drop-zone').waitFor()
  const session = await page.context().newCDPSession(page)
  const data = { items: [], files: [path], dragOperationsMask: 1 }
  const at = { x: 300, y: 600, data }
  await session.send('Input.dispatchDragEvent', { type: 'dragEnter', ...at })
  await page.locator('.drop-zone[data-dragging="true"]').waitFor()
  await session.send('Input.dispatchDragEvent', { type: 'dragOver', ...at })
  await session.send('Input.dispatchDragEvent', { type: 'drop', ...at })
  await page.locator('.drop-zone[data-dragging="false"]').waitFor()
}

export async function chooseFile(page: Page, path: string): Promise<void> {
  await page.getByTestId('file-input').setInputFiles(path)
}

/** The row of an upload; with `state`, only when it is in this state. */
export function uploadRow(page: Page, name: string, state?: string): Locator {
  const inState = state === undefined ? '' : `[data-state="${state}"]`
  return page.locator(`[data-testid="upload-row"][data-name="${name}"]${inState}`)
}

/** The row of an upload that an earlier visit began. */
export function unfinishedRow(page: Page, name: string): Locator {
  return page.locator(`[data-testid="unfinished-row"][data-name="${name}"]`)
}

/** The card of a media in the library; with `status`, only when it has this status. */
export function mediaCard(page: Page, name: string, status?: string): Locator {
  const withStatus = status === undefined ? '' : `[data-status="${status}"]`
  return page.locator(`[data-testid="media-card"][data-name="${name}"]${withStatus}`)
}

/** The bar within `row`, as soon as some bytes are through. */
export function movingBar(row: Locator): Locator {
  return row.locator('[role="progressbar"]:not([aria-valuenow="0"])')
}
