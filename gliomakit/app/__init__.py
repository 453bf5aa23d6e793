"""The page that segments in a browser: `gliomakit app`.

    page    what a person sees; in a kernel of his own, one for each open page
    intake  the files he drops, taken in pieces, judged before they are read
    line    the page's connection to the desk
    desk    in the server: folders that are gone with their page, one queue for all pages
    worker  the one process that has the network and segments for all
    report  what a person takes away: a page of HTML, tables of labels
    sheet   the same page as a PDF
    served  all of it together, behind an address with a token

A kernel loads no PyTorch. Files come through the page's own web socket, so that there is no address
at which anybody's file could be asked for.
"""
