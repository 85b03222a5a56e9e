"""Tables: nets, trees and linear models of rows with categories and numbers."""
